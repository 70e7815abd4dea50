// Made of supabase/schemas: WRITE_DOCS=1 cargo xtask test db

export type Json = string | number | boolean | null | { [key: string]: Json | undefined } | Json[];

/** What process-jobs has in your project: merge it with your own, or give it to `createClient<Database>`. */
export type Database = {
  public: {
    Tables: {
      generation_progress: {
        Row: {
          user_id: string;
          generation_id: string;
          status: "queued" | "processing" | "downloading" | "completed" | "failed" | "cancelled";
          progress: number;
          updated_at: string;
        };
        Insert: {
          user_id: string;
          generation_id: string;
          status: "queued" | "processing" | "downloading" | "completed" | "failed" | "cancelled";
          progress: number;
          updated_at?: string;
        };
        Update: {
          user_id?: string;
          generation_id?: string;
          status?: "queued" | "processing" | "downloading" | "completed" | "failed" | "cancelled";
          progress?: number;
          updated_at?: string;
        };
        Relationships: [];
      };
      image_generations: {
        Row: {
          id: string;
          user_id: string;
          prompt: string | null;
          negative_prompt: string | null;
          model: string | null;
          style: string | null;
          width: number | null;
          height: number | null;
          steps: number | null;
          guidance_scale: number | null;
          status: "pending" | "queued" | "processing" | "downloading" | "completed" | "failed" | "cancelled";
          progress: number;
          error_message: string | null;
          generation_time_seconds: number | null;
          replicate_prediction_id: string | null;
          created_at: string;
          updated_at: string;
          completed_at: string | null;
        };
        Insert: {
          id: string;
          user_id: string;
          prompt?: string | null;
          negative_prompt?: string | null;
          model?: string | null;
          style?: string | null;
          width?: number | null;
          height?: number | null;
          steps?: number | null;
          guidance_scale?: number | null;
          status?: "pending" | "queued" | "processing" | "downloading" | "completed" | "failed" | "cancelled";
          progress?: number;
          error_message?: string | null;
          generation_time_seconds?: number | null;
          replicate_prediction_id?: string | null;
          created_at?: string;
          updated_at?: string;
          completed_at?: string | null;
        };
        Update: {
          id?: string;
          user_id?: string;
          prompt?: string | null;
          negative_prompt?: string | null;
          model?: string | null;
          style?: string | null;
          width?: number | null;
          height?: number | null;
          steps?: number | null;
          guidance_scale?: number | null;
          status?: "pending" | "queued" | "processing" | "downloading" | "completed" | "failed" | "cancelled";
          progress?: number;
          error_message?: string | null;
          generation_time_seconds?: number | null;
          replicate_prediction_id?: string | null;
          created_at?: string;
          updated_at?: string;
          completed_at?: string | null;
        };
        Relationships: [];
      };
      images: {
        Row: {
          id: string;
          generation_id: string;
          user_id: string;
          filename: string;
          storage_path: string;
          public_url: string | null;
          file_size: number | null;
          width: number | null;
          height: number | null;
          format: string | null;
          prompt: string | null;
          negative_prompt: string | null;
          model: string | null;
          created_at: string;
        };
        Insert: {
          id?: string;
          generation_id: string;
          user_id: string;
          filename: string;
          storage_path: string;
          public_url?: string | null;
          file_size?: number | null;
          width?: number | null;
          height?: number | null;
          format?: string | null;
          prompt?: string | null;
          negative_prompt?: string | null;
          model?: string | null;
          created_at?: string;
        };
        Update: {
          id?: string;
          generation_id?: string;
          user_id?: string;
          filename?: string;
          storage_path?: string;
          public_url?: string | null;
          file_size?: number | null;
          width?: number | null;
          height?: number | null;
          format?: string | null;
          prompt?: string | null;
          negative_prompt?: string | null;
          model?: string | null;
          created_at?: string;
        };
        Relationships: [];
      };
      job_queue: {
        Row: {
          id: string;
          job_type: string;
          payload: Json;
          status: "pending" | "processing" | "completed" | "failed" | "cancelled";
          priority: number;
          attempt_number: number;
          max_attempts: number;
          result: Json | null;
          error_message: string | null;
          created_at: string;
          updated_at: string;
          completed_at: string | null;
          scheduled_at: string;
          started_at: string | null;
          lease_token: string | null;
          lease_expires_at: string | null;
          checkpoint: Json | null;
          progress: number | null;
          errors: Json;
          unique_key: string | null;
          created_by: string | null;
          life: number;
          first_started_at: string | null;
          event: Json | null;
          woken_at: string | null;
          cancel_requested_at: string | null;
          follow_ups: Json | null;
          moves: number;
          notify_url: string | null;
          notify_user: string | null;
        };
        Insert: {
          id?: string;
          job_type: string;
          payload?: Json;
          status?: "pending" | "processing" | "completed" | "failed" | "cancelled";
          priority?: number;
          attempt_number?: number;
          max_attempts?: number;
          result?: Json | null;
          error_message?: string | null;
          created_at?: string;
          updated_at?: string;
          completed_at?: string | null;
          scheduled_at?: string;
          started_at?: string | null;
          lease_token?: string | null;
          lease_expires_at?: string | null;
          checkpoint?: Json | null;
          progress?: number | null;
          errors?: Json;
          unique_key?: string | null;
          created_by?: string | null;
          life?: number;
          first_started_at?: string | null;
          event?: Json | null;
          woken_at?: string | null;
          cancel_requested_at?: string | null;
          follow_ups?: Json | null;
          moves?: number;
          notify_url?: string | null;
          notify_user?: string | null;
        };
        Update: {
          id?: string;
          job_type?: string;
          payload?: Json;
          status?: "pending" | "processing" | "completed" | "failed" | "cancelled";
          priority?: number;
          attempt_number?: number;
          max_attempts?: number;
          result?: Json | null;
          error_message?: string | null;
          created_at?: string;
          updated_at?: string;
          completed_at?: string | null;
          scheduled_at?: string;
          started_at?: string | null;
          lease_token?: string | null;
          lease_expires_at?: string | null;
          checkpoint?: Json | null;
          progress?: number | null;
          errors?: Json;
          unique_key?: string | null;
          created_by?: string | null;
          life?: number;
          first_started_at?: string | null;
          event?: Json | null;
          woken_at?: string | null;
          cancel_requested_at?: string | null;
          follow_ups?: Json | null;
          moves?: number;
          notify_url?: string | null;
          notify_user?: string | null;
        };
        Relationships: [];
      };
      job_types: {
        Row: {
          job_type: string;
          backoff_base_seconds: number;
          backoff_max_seconds: number;
          lease_seconds: number;
          starts_per_minute: number | null;
          start_tokens: number | null;
          start_tokens_at: string | null;
          paused_at: string | null;
          paused_reason: string | null;
          held_until: string | null;
          begun_held_until: string | null;
          priority_ages_seconds: number | null;
          fair_key: string | null;
          notify_url: string | null;
          call_function: string | null;
          call_timeout_seconds: number | null;
          handler: string;
        };
        Insert: {
          job_type: string;
          backoff_base_seconds?: number;
          backoff_max_seconds?: number;
          lease_seconds?: number;
          starts_per_minute?: number | null;
          start_tokens?: number | null;
          start_tokens_at?: string | null;
          paused_at?: string | null;
          paused_reason?: string | null;
          held_until?: string | null;
          begun_held_until?: string | null;
          priority_ages_seconds?: number | null;
          fair_key?: string | null;
          notify_url?: string | null;
          call_function?: string | null;
          call_timeout_seconds?: number | null;
        };
        Update: {
          job_type?: string;
          backoff_base_seconds?: number;
          backoff_max_seconds?: number;
          lease_seconds?: number;
          starts_per_minute?: number | null;
          start_tokens?: number | null;
          start_tokens_at?: string | null;
          paused_at?: string | null;
          paused_reason?: string | null;
          held_until?: string | null;
          begun_held_until?: string | null;
          priority_ages_seconds?: number | null;
          fair_key?: string | null;
          notify_url?: string | null;
          call_function?: string | null;
          call_timeout_seconds?: number | null;
        };
        Relationships: [];
      };
      model_prices: {
        Row: {
          model: string;
          per_second: number | null;
          per_image: number | null;
          as_of: string;
          source: string | null;
        };
        Insert: {
          model: string;
          per_second?: number | null;
          per_image?: number | null;
          as_of?: string;
          source?: string | null;
        };
        Update: {
          model?: string;
          per_second?: number | null;
          per_image?: number | null;
          as_of?: string;
          source?: string | null;
        };
        Relationships: [];
      };
      project_budget: {
        Row: {
          only_row: boolean;
          max_cost_per_month: number | null;
          over_budget: "refuse" | "park";
          look_again_at: string;
        };
        Insert: {
          only_row?: boolean;
          max_cost_per_month?: number | null;
          over_budget?: "refuse" | "park";
          look_again_at?: string;
        };
        Update: {
          only_row?: boolean;
          max_cost_per_month?: number | null;
          over_budget?: "refuse" | "park";
          look_again_at?: string;
        };
        Relationships: [];
      };
      usage_ledger: {
        Row: {
          id: string;
          job_id: string;
          user_id: string | null;
          model: string | null;
          status: "succeeded" | "failed" | "canceled" | "aborted";
          predict_seconds: number | null;
          images: number | null;
          cost: number | null;
          created_at: string;
        };
        Insert: {
          id: string;
          job_id: string;
          user_id?: string | null;
          model?: string | null;
          status: "succeeded" | "failed" | "canceled" | "aborted";
          predict_seconds?: number | null;
          images?: number | null;
          cost?: number | null;
          created_at?: string;
        };
        Update: {
          id?: string;
          job_id?: string;
          user_id?: string | null;
          model?: string | null;
          status?: "succeeded" | "failed" | "canceled" | "aborted";
          predict_seconds?: number | null;
          images?: number | null;
          cost?: number | null;
          created_at?: string;
        };
        Relationships: [];
      };
      user_limits: {
        Row: {
          applies_to: string;
          allowed_models: string[] | null;
          max_pixels: number | null;
          max_outputs: number | null;
          max_priority: number | null;
          max_open: number | null;
          max_per_day: number | null;
          max_cost_per_month: number | null;
          over_budget: "refuse" | "park" | null;
        };
        Insert: {
          applies_to: string;
          allowed_models?: string[] | null;
          max_pixels?: number | null;
          max_outputs?: number | null;
          max_priority?: number | null;
          max_open?: number | null;
          max_per_day?: number | null;
          max_cost_per_month?: number | null;
          over_budget?: "refuse" | "park" | null;
        };
        Update: {
          applies_to?: string;
          allowed_models?: string[] | null;
          max_pixels?: number | null;
          max_outputs?: number | null;
          max_priority?: number | null;
          max_open?: number | null;
          max_per_day?: number | null;
          max_cost_per_month?: number | null;
          over_budget?: "refuse" | "park" | null;
        };
        Relationships: [];
      };
    };
    Views: {
      costs_by_model: {
        Row: {
          month: string | null;
          model: string | null;
          predictions: number | null;
          images: number | null;
          predict_seconds: number | null;
          cost: number | null;
          unpriced: number | null;
        };
        Relationships: [];
      };
      costs_by_user: {
        Row: {
          month: string | null;
          user_id: string | null;
          predictions: number | null;
          images: number | null;
          predict_seconds: number | null;
          cost: number | null;
          unpriced: number | null;
        };
        Relationships: [];
      };
    };
    Functions: {
      cancel_generation: {
        Args: { p_id: string };
        Returns: boolean;
      };
      cancel_job: {
        Args: { p_job_id: string; p_lease_token?: string; p_usage?: Json };
        Returns: boolean;
      };
      change_priority: {
        Args: { p_job_id: string; p_priority: number };
        Returns: boolean;
      };
      claim_next_job: {
        Args: { p_job_types?: string[]; p_limit?: number; p_lease_seconds?: number; p_worker?: Json; p_lease_token?: string };
        Returns: { id: string; job_type: string; payload: Json; status: string; priority: number; attempt_number: number; max_attempts: number; life: number; checkpoint: Json; event: Json; cancel_requested: boolean; lease_token: string; lease_expires_at: string; lease_seconds: number; created_at: string; started_at: string; age_seconds: number; search_from: string; seconds_until_next: number; call_function: string; call_timeout_seconds: number }[];
      };
      complete_job: {
        Args: { p_job_id: string; p_result?: Json; p_error?: string; p_lease_token?: string; p_retry?: string; p_error_kind?: string; p_follow_ups?: Json; p_usage?: Json };
        Returns: boolean;
      };
      enqueue_job: {
        Args: { p_job_type: string; p_payload: Json; p_priority?: number; p_max_attempts?: number; p_scheduled_at?: string; p_unique_key?: string; p_notify_url?: string };
        Returns: string;
      };
      enqueue_jobs: {
        Args: { p_jobs: Json };
        Returns: string[];
      };
      exchange_jobs: {
        Args: { p_outcomes?: Json; p_job_types?: string[]; p_limit?: number; p_lease_token?: string };
        Returns: Json;
      };
      get_generation: {
        Args: { p_id: string };
        Returns: Json;
      };
      heartbeat_job: {
        Args: { p_job_id: string; p_lease_token: string; p_lease_seconds?: number; p_progress?: number };
        Returns: boolean;
      };
      keep_model_schema: {
        Args: { p_model: string; p_schema?: Json; p_any_age?: boolean };
        Returns: Json;
      };
      my_limits: {
        Args: Record<PropertyKey, never>;
        Returns: Json;
      };
      pause_job_type: {
        Args: { p_job_type: string; p_reason: string };
        Returns: boolean;
      };
      process_jobs_doctor: {
        Args: Record<PropertyKey, never>;
        Returns: { subject: string; finding: string; advice: string }[];
      };
      prune_jobs: {
        Args: { p_ended_before?: string; p_limit?: number };
        Returns: number;
      };
      queue_metrics: {
        Args: Record<PropertyKey, never>;
        Returns: string;
      };
      queue_stats: {
        Args: Record<PropertyKey, never>;
        Returns: Json;
      };
      redrive_failed_jobs: {
        Args: { p_job_type?: string; p_failed_after?: string; p_limit?: number; p_attempts?: number };
        Returns: number;
      };
      report_progress: {
        Args: { p_job_id: string; p_progress: number; p_life?: number };
        Returns: boolean;
      };
      request_generation: {
        Args: { p_prompt: string; p_model_id: string; p_options?: Json };
        Returns: Json;
      };
      resume_job_type: {
        Args: { p_job_type: string };
        Returns: boolean;
      };
      retry_generation: {
        Args: { p_id: string };
        Returns: boolean;
      };
      retry_job: {
        Args: { p_job_id: string; p_attempts?: number };
        Returns: boolean;
      };
      schedule_process_jobs: {
        Args: { p_function_url: string; p_secret_key?: string; p_schedule?: string; p_timeout_milliseconds?: number };
        Returns: number;
      };
      seconds_until_next_job: {
        Args: { p_job_types?: string[] };
        Returns: number;
      };
      snooze_job: {
        Args: { p_job_id: string; p_lease_token: string; p_delay_seconds: number; p_checkpoint?: Json; p_progress?: number; p_hold_job_type?: boolean; p_pause_reason?: string; p_usage?: Json };
        Returns: boolean;
      };
      unschedule_process_jobs: {
        Args: Record<PropertyKey, never>;
        Returns: boolean;
      };
      wake_job: {
        Args: { p_job_id: string; p_event: Json; p_life?: number; p_usage?: Json };
        Returns: boolean;
      };
    };
    Enums: Record<never, never>;
    CompositeTypes: Record<never, never>;
  };
};
